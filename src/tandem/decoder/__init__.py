"""The transformer: configuration, layers, weights in and out, adapters, caches, generating, scoring."""
