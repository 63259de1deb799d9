"""The description of the API (OpenAPI 3.1), and the page for people made from it. What is true of many routes is said once."""
