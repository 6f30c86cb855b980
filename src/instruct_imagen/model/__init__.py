"""The network: text states, context attention, the U-Net. Knows nothing of diffusion."""
