"""How the store's tables came to be, a file for each version; `store_schema` runs them."""
