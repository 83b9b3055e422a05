"""The gallery of the laws, docs/passes.md: each at work on its example, as text and as a picture; what it gains."""
