"""A dataset as other frameworks know it. Each file imports its framework; nothing imports them but who wants that."""
