"""The application: routes, formats, the stream, the page."""
