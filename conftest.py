"""Load `pytester`, with which tests run pytest. pytest allows this only in the top conftest.py."""

pytest_plugins = ["pytester"]
