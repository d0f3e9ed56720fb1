"""Text before it is a source or a task: documents, their splits, and contexts cut from them."""
