"""The file formats: one pydantic definition for each kind of file, from which validation, JSON Schema and docs follow."""
