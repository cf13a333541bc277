# A recipe for Yocto, for a layer of your own. It was written from the documentation, and not built.
# Needs meta-python of meta-openembedded. Set UPPARAT_SRC and SRCREV in your distribution or layer.
SUMMARY = "Update agent that follows AWS IoT Jobs"
LICENSE = "MIT"
LIC_FILES_CHKSUM = "file://LICENSE;md5=79a432205dc3192206c3015fe3604d14"

UPPARAT_SRC ?= "git:///path/to/upparat;protocol=file;branch=main"
SRC_URI = "${UPPARAT_SRC}"
S = "${WORKDIR}/git"

inherit python_setuptools_build_meta systemd

RDEPENDS:${PN} += " \
    python3-asyncio \
    python3-automat \
    python3-core \
    python3-cryptography \
    python3-json \
    python3-logging \
    python3-netclient \
    python3-paho-mqtt \
    python3-pyopenssl \
    python3-sentry-sdk \
    python3-service-identity \
    python3-treq \
    python3-twisted \
"

SYSTEMD_SERVICE:${PN} = "upparat.service"
CONFFILES:${PN} = "${sysconfdir}/upparat/upparat.conf"

do_install:append() {
    # The local AWS is for development.
    rm -rf ${D}${PYTHON_SITEPACKAGES_DIR}/upparat/local ${D}${bindir}/upparat-local
    install -D -m 0644 ${S}/packaging/upparat.conf ${D}${sysconfdir}/upparat/upparat.conf
    install -D -m 0644 ${S}/packaging/debian/upparat.service \
        ${D}${systemd_system_unitdir}/upparat.service
}

FILES:${PN} += "${systemd_system_unitdir}/upparat.service"
