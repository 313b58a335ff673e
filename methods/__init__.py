"""The science: one small file a method, on torch alone. `registry.py` names them."""
