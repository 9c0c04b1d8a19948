"""The extension in C, held to its Python form."""
