"""The boxes family (CenterMask): detected boxes with a mask each become labels."""
