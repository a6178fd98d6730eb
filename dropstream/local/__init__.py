"""The product on one machine: install, embedded servers, supervisor, checks."""
