"""What pytest reads first: the plugin that runs pytest inside of tests."""

pytest_plugins = ["pytester"]
