"""Figure 5: generative adversarial networks in the plane (section 3.7)."""
