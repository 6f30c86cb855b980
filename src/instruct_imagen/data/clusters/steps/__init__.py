"""The steps of a build, each of which makes files of the files of those before it."""
