SUMMARY = "Finds out why a payment terminal could not complete a sale"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://${COMMON_LICENSE_DIR}/Apache-2.0;md5=89aea4e17d99a7cacdbeed46a0096b10"

# The folder that `make package` unpacks to (posdx-VERSION-ARCH) put beside this recipe, so that an image holds the very
# bytes of the other packages.
POSDX_FOLDER ?= "posdx-${PV}-armv7"
FILESEXTRAPATHS:prepend := "${THISDIR}/files:"
SRC_URI = "file://${POSDX_FOLDER}"
S = "${WORKDIR}/${POSDX_FOLDER}"

COMPATIBLE_HOST = "(arm|aarch64).*-linux.*"
INHIBIT_PACKAGE_STRIP = "1"
INHIBIT_SYSROOT_STRIP = "1"
INSANE_SKIP:${PN} = "already-stripped ldflags"
do_configure[noexec] = "1"
do_compile[noexec] = "1"

inherit useradd systemd update-rc.d
USERADD_PACKAGES = "${PN}"
GROUPADD_PARAM:${PN} = "--system posdx"
USERADD_PARAM:${PN} = "--system --no-create-home --home-dir /var/lib/posdx --shell /bin/false --gid posdx --groups dialout,lp posdx"
SYSTEMD_SERVICE:${PN} = "posdx.service"
INITSCRIPT_NAME = "posdx"
INITSCRIPT_PARAMS = "defaults 95 05"

do_install() {
	install -D -m 0755 ${S}/posdx ${D}${bindir}/posdx
	for f in setup posdx.init posdx.procd posdx.openrc posdx.service posdx-relay@.service posdx.rules first.toml posdx.toml.example licences.txt.gz SHA256SUMS; do
		install -D -m 0644 ${S}/$f ${D}${nonarch_libdir}/posdx/$f
	done
	chmod 0755 ${D}${nonarch_libdir}/posdx/setup
	install -D -m 0755 ${S}/posdx.init ${D}${sysconfdir}/init.d/posdx
	install -D -m 0644 ${S}/posdx.service ${D}${systemd_system_unitdir}/posdx.service
	install -D -m 0644 ${S}/posdx-relay@.service ${D}${systemd_system_unitdir}/posdx-relay@.service
	install -D -m 0640 -g posdx ${S}/first.toml ${D}${sysconfdir}/posdx/posdx.toml
	install -D -m 0644 ${S}/posdx.toml.example ${D}${sysconfdir}/posdx/posdx.toml.example
	install -d -m 0750 -g posdx ${D}${sysconfdir}/posdx/conf.d
	install -d -m 0700 -o posdx -g posdx ${D}${localstatedir}/lib/posdx
}

CONFFILES:${PN} = "${sysconfdir}/posdx/posdx.toml"
FILES:${PN} += "${nonarch_libdir}/posdx ${systemd_system_unitdir} ${localstatedir}/lib/posdx"
