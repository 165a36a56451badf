"""Where tasks come from: each module is one kind of source, a TaskSource of `components.ports`."""
