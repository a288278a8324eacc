"""The boxes family (CenterMask): networks that detect boxes and predict a mask in each."""
