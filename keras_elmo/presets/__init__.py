"""Models that ship with the package, and the folders that hold models like them."""
