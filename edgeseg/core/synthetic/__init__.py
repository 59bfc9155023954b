"""The parts of the synthetic drive: street, textures, figures, light, view and painter."""
