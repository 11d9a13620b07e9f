"""Tests of the Python subject. They need the standard library; what needs a package is skipped, by name, without it.

Run them in the folder `python`: `python -m unittest discover -s tests -t .`
"""
