"""Heat maps inside the graph: which places of an image spoke for its class, as CAM and Grad-CAM have it."""

from cnnc_passes.explain.heat_map import CLASS_INPUT, HEAT_MAP, METHODS, HeatMap, Method, add_heat_map

__all__ = ["CLASS_INPUT", "HEAT_MAP", "METHODS", "HeatMap", "Method", "add_heat_map"]
