################################################################################
#
# python-upparat
#
# For an external tree of your own. It was written from the documentation, and
# not built. Set PYTHON_UPPARAT_SITE to a checkout.
#
################################################################################

PYTHON_UPPARAT_SITE ?= /path/to/upparat
PYTHON_UPPARAT_SITE_METHOD = local
PYTHON_UPPARAT_SETUP_TYPE = setuptools
PYTHON_UPPARAT_LICENSE = MIT
PYTHON_UPPARAT_LICENSE_FILES = LICENSE

# The local AWS is for development.
define PYTHON_UPPARAT_INSTALL_DEVICE_FILES
	rm -rf $(TARGET_DIR)/usr/lib/python$(PYTHON3_VERSION_MAJOR)/site-packages/upparat/local
	rm -f $(TARGET_DIR)/usr/bin/upparat-local
	$(INSTALL) -D -m 0644 $(@D)/packaging/upparat.conf $(TARGET_DIR)/etc/upparat/upparat.conf
endef
PYTHON_UPPARAT_POST_INSTALL_TARGET_HOOKS += PYTHON_UPPARAT_INSTALL_DEVICE_FILES

define PYTHON_UPPARAT_INSTALL_INIT_SYSTEMD
	$(INSTALL) -D -m 0644 $(@D)/packaging/debian/upparat.service \
		$(TARGET_DIR)/usr/lib/systemd/system/upparat.service
endef

$(eval $(python-package))
