"""The launcher: `make up` and `make down` on one machine, and the entry points of the cluster's containers."""
