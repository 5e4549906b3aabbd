# Takes what `make package` made, so that an image holds the very bytes of the other packages.
POSDX_TAR = $(call qstrip,$(BR2_PACKAGE_POSDX_TAR))
POSDX_VERSION = $(shell basename "$(POSDX_TAR)" .tar.gz | sed 's/^posdx-//; s/-[^-]*$$//')
POSDX_SITE = $(dir $(POSDX_TAR))
POSDX_SITE_METHOD = file
POSDX_SOURCE = $(notdir $(POSDX_TAR))
POSDX_LICENSE = Apache-2.0
POSDX_LICENSE_FILES = licences.txt.gz
POSDX_FILES = setup posdx.init posdx.procd posdx.openrc posdx.service posdx-relay@.service posdx.rules first.toml posdx.toml.example licences.txt.gz SHA256SUMS

define POSDX_INSTALL_TARGET_CMDS
	$(INSTALL) -D -m 0755 $(@D)/posdx $(TARGET_DIR)/usr/bin/posdx
	for f in $(POSDX_FILES); do $(INSTALL) -D -m 0644 $(@D)/$$f $(TARGET_DIR)/usr/lib/posdx/$$f || exit 1; done
	chmod 0755 $(TARGET_DIR)/usr/lib/posdx/setup
	$(INSTALL) -D -m 0640 $(@D)/first.toml $(TARGET_DIR)/etc/posdx/posdx.toml
	$(INSTALL) -D -m 0644 $(@D)/posdx.toml.example $(TARGET_DIR)/etc/posdx/posdx.toml.example
	$(INSTALL) -d -m 0750 $(TARGET_DIR)/etc/posdx/conf.d
	$(INSTALL) -d -m 0700 $(TARGET_DIR)/var/lib/posdx
endef

define POSDX_INSTALL_INIT_SYSV
	$(INSTALL) -D -m 0755 $(@D)/posdx.init $(TARGET_DIR)/etc/init.d/posdx
	ln -sf posdx $(TARGET_DIR)/etc/init.d/S95posdx
endef

define POSDX_INSTALL_INIT_SYSTEMD
	$(INSTALL) -D -m 0644 $(@D)/posdx.service $(TARGET_DIR)/usr/lib/systemd/system/posdx.service
	$(INSTALL) -D -m 0644 $(@D)/posdx-relay@.service $(TARGET_DIR)/usr/lib/systemd/system/posdx-relay@.service
endef

define POSDX_USERS
	posdx -1 posdx -1 * /var/lib/posdx - dialout,lp posdx
endef

define POSDX_PERMISSIONS
	/etc/posdx/posdx.toml f 640 root posdx - - - - -
	/etc/posdx/conf.d d 750 root posdx - - - - -
	/var/lib/posdx d 700 posdx posdx - - - - -
endef

$(eval $(generic-package))
