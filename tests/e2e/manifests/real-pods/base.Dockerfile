# The local stand-in for the Dockerfile's BASE_IMAGE where no image registry is in reach: Debian 12 with its Python, made by
# debootstrap. A pod's sandbox runs it as well, hence the command. Built by tests/e2e/image.py.
FROM scratch
ADD base.tar /
CMD ["sleep", "infinity"]
