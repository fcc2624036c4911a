"""The model registry, model folders with checksums, and bundles to carry a model to another machine."""
