"""Maps over pictures, and how they are drawn: masks, scores of classifiers that slide, heat maps."""
