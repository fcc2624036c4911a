"""Model registry, model folders with checksums, and bundles that move a model to another installation."""
