"""Ray jobs that end by themselves (training), submitted to the head and watched without importing Ray."""
