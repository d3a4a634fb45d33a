"""Raw frames of a feed, kept in files and played again through the same parser."""
