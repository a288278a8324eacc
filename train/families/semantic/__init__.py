"""The semantic family: a U-Net that predicts foreground; its connected components are the cells."""
