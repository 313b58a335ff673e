"""How files are opened: folders, archives, images, downloads, and packed arrays from strangers."""
