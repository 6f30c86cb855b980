"""The network: text states, context attention, the U-Net and its adaptation. Knows nothing of diffusion."""
