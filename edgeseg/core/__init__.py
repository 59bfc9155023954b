"""What host and target share: numpy only, and OpenCV where images are touched."""
