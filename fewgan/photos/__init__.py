"""From a photo in a folder or archive to one square of pixels, and from squares to a dataset on disk."""
