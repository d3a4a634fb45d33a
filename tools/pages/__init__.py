"""The pages of `docs/reference` that are generated from the code, one module a page."""
