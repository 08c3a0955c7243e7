"""Release commands that people have already: read from the files of other platforms.

Each format has a module of its own with one function from the file's text to what was found in it. None of
them touches a disk or a daemon.
"""
