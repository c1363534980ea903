# Builds offloadd and lays its tree: `make`, then `make install` as root.
#
#   make install DESTDIR= PREFIX=/usr/local    lay the tree
#   make uninstall                             take it away again (the same variables)
#   make deb                                   target/debian/offloadd_VERSION_ARCH.deb
#
# For a development build: PROFILE=dev, for `make` and for `make install`.
.POSIX:

PREFIX = /usr/local
DESTDIR =

bindir = $(PREFIX)/bin
libexecdir = $(PREFIX)/libexec
libdir = $(PREFIX)/lib
datadir = $(PREFIX)/share
docdir = $(datadir)/doc/offloadd
mandir = $(datadir)/man
unitdir = $(libdir)/systemd/system
userunitdir = $(libdir)/systemd/user
sysusersdir = $(libdir)/sysusers.d
catalogdir = $(libdir)/systemd/catalog
dbusservicedir = $(datadir)/dbus-1/system-services
dbusinterfacedir = $(datadir)/dbus-1/interfaces
# dbus-daemon, dbus-broker and older versions of polkit read no policy in /usr/local.
dbuspolicydir != case '$(PREFIX)' in /usr/local) echo /etc/dbus-1/system.d ;; *) echo '$(datadir)/dbus-1/system.d' ;; esac
polkitdir != case '$(PREFIX)' in /usr/local) echo /usr/share/polkit-1/actions ;; *) echo '$(datadir)/polkit-1/actions' ;; esac
bashcompletiondir = $(datadir)/bash-completion/completions
zshcompletiondir = $(datadir)/zsh/site-functions
fishcompletiondir = $(datadir)/fish/vendor_completions.d

# Whether systemd knows Type=notify-reload: from 253 on. Where there is none to ask it is another machine's.
NOTIFY_RELOAD != systemctl --version 2> /dev/null | awk 'NR == 1 && $$2 + 0 < 253 { old = 1 } END { print old ? "no" : "yes" }'

PROFILE = release
CARGO = cargo
CARGOFLAGS = --locked
# Where cargo puts the programs of a profile. Cross-compiled ones are elsewhere: say where.
builddir != case '$(PROFILE)' in dev) profile=debug ;; *) profile='$(PROFILE)' ;; esac; echo "$${CARGO_TARGET_DIR:-target}/$$profile"

INSTALL = install
units = offloadd.service offload-helper.socket offload-helper.service offload-gateway.socket offload-metrics.socket offload-ready.target offload-ready.path offload-hold.service offload-wait-ready.service
userunits = offload-notify.service offload-tray.service

all:
	$(CARGO) build $(CARGOFLAGS) --profile $(PROFILE) --package offloadd --package offload-client

# It builds nothing: root, who installs, often has no cargo.
install: programs install-units install-bus install-docs install-completions

programs:
	@for program in offloadd offload-helper offloadctl; do \
	    if [ ! -x '$(builddir)'/$$program ]; then \
	        echo "there is no $(builddir)/$$program yet: run make first (PROFILE=$(PROFILE))" >&2; exit 1; \
	    fi; \
	done
	$(INSTALL) -d '$(DESTDIR)$(bindir)' '$(DESTDIR)$(libexecdir)'
	$(INSTALL) -m 0755 '$(builddir)'/offloadd '$(builddir)'/offloadctl '$(DESTDIR)$(bindir)'
	$(INSTALL) -m 0755 '$(builddir)'/offload-helper '$(DESTDIR)$(libexecdir)'
	ln -sf offloadctl '$(DESTDIR)$(bindir)'/offload-status
	ln -sf offloadctl '$(DESTDIR)$(bindir)'/offload-test-build

install-units:
	$(INSTALL) -d '$(DESTDIR)$(unitdir)' '$(DESTDIR)$(sysusersdir)' '$(DESTDIR)$(catalogdir)'
	for unit in $(units); do \
	    sed 's,/usr/bin/,$(bindir)/,g; s,/usr/libexec/,$(libexecdir)/,g' systemd/$$unit > '$(DESTDIR)$(unitdir)'/$$unit && \
	    chmod 0644 '$(DESTDIR)$(unitdir)'/$$unit || exit; \
	done
	if [ '$(NOTIFY_RELOAD)' = yes ]; then \
	    $(INSTALL) -d '$(DESTDIR)$(unitdir)'/offloadd.service.d && \
	    $(INSTALL) -m 0644 systemd/notify-reload.conf '$(DESTDIR)$(unitdir)'/offloadd.service.d; \
	else \
	    rm -f '$(DESTDIR)$(unitdir)'/offloadd.service.d/notify-reload.conf; \
	fi
	$(INSTALL) -d '$(DESTDIR)$(userunitdir)'
	for unit in $(userunits); do \
	    sed 's,/usr/bin/,$(bindir)/,g' systemd/user/$$unit > '$(DESTDIR)$(userunitdir)'/$$unit && \
	    chmod 0644 '$(DESTDIR)$(userunitdir)'/$$unit || exit; \
	done
	$(INSTALL) -m 0644 systemd/offloadd.sysusers '$(DESTDIR)$(sysusersdir)'/offloadd.conf
	$(INSTALL) -m 0644 systemd/offloadd.catalog '$(DESTDIR)$(catalogdir)'

install-bus:
	$(INSTALL) -d '$(DESTDIR)$(dbuspolicydir)' '$(DESTDIR)$(dbusservicedir)' \
	    '$(DESTDIR)$(dbusinterfacedir)' '$(DESTDIR)$(polkitdir)'
	$(INSTALL) -m 0644 dbus/org.offloadd.Offload1.conf '$(DESTDIR)$(dbuspolicydir)'
	$(INSTALL) -m 0644 dbus/org.offloadd.Offload1.service '$(DESTDIR)$(dbusservicedir)'
	$(INSTALL) -m 0644 dbus/*.xml '$(DESTDIR)$(dbusinterfacedir)'
	$(INSTALL) -m 0644 dbus/org.offloadd.Offload1.policy '$(DESTDIR)$(polkitdir)'

install-docs:
	$(INSTALL) -d '$(DESTDIR)$(docdir)'
	$(INSTALL) -m 0644 systemd/config.example.toml README.md '$(DESTDIR)$(docdir)'
	$(INSTALL) -m 0644 CHANGELOG.md '$(DESTDIR)$(docdir)'/changelog
	$(INSTALL) -d '$(DESTDIR)$(docdir)/bars'
	$(INSTALL) -m 0644 client/bars/* '$(DESTDIR)$(docdir)/bars'
	$(INSTALL) -d '$(DESTDIR)$(mandir)'/man1 '$(DESTDIR)$(mandir)'/man5 '$(DESTDIR)$(mandir)'/man8
	$(INSTALL) -m 0644 client/man/offloadctl.1 '$(DESTDIR)$(mandir)'/man1
	for name in offload-status offload-test-build; do \
	    echo '.so man1/offloadctl.1' > '$(DESTDIR)$(mandir)'/man1/$$name.1 && \
	    chmod 0644 '$(DESTDIR)$(mandir)'/man1/$$name.1 || exit; \
	done
	$(INSTALL) -m 0644 daemon/man/offloadd.toml.5 daemon/man/org.offloadd.Offload1.5 '$(DESTDIR)$(mandir)'/man5
	$(INSTALL) -m 0644 daemon/man/offloadd.8 daemon/man/offload-helper.8 '$(DESTDIR)$(mandir)'/man8
	$(INSTALL) -d '$(DESTDIR)$(mandir)'/pt_BR/man1 '$(DESTDIR)$(mandir)'/pt_BR/man5 '$(DESTDIR)$(mandir)'/pt_BR/man8
	$(INSTALL) -m 0644 client/man/pt_BR/offloadctl.1 '$(DESTDIR)$(mandir)'/pt_BR/man1
	for name in offload-status offload-test-build; do \
	    echo '.so man1/offloadctl.1' > '$(DESTDIR)$(mandir)'/pt_BR/man1/$$name.1 && \
	    chmod 0644 '$(DESTDIR)$(mandir)'/pt_BR/man1/$$name.1 || exit; \
	done
	$(INSTALL) -m 0644 daemon/man/pt_BR/offloadd.toml.5 daemon/man/pt_BR/org.offloadd.Offload1.5 '$(DESTDIR)$(mandir)'/pt_BR/man5
	$(INSTALL) -m 0644 daemon/man/pt_BR/offloadd.8 daemon/man/pt_BR/offload-helper.8 '$(DESTDIR)$(mandir)'/pt_BR/man8

# Made by the program itself. Cross-compiled it does not run here: OFFLOADCTL names one that does.
OFFLOADCTL = $(builddir)/offloadctl
install-completions: programs
	$(INSTALL) -d '$(DESTDIR)$(bashcompletiondir)' '$(DESTDIR)$(zshcompletiondir)' '$(DESTDIR)$(fishcompletiondir)'
	'$(OFFLOADCTL)' completions bash > '$(DESTDIR)$(bashcompletiondir)'/offloadctl
	'$(OFFLOADCTL)' completions zsh > '$(DESTDIR)$(zshcompletiondir)'/_offloadctl
	'$(OFFLOADCTL)' completions fish > '$(DESTDIR)$(fishcompletiondir)'/offloadctl.fish
	chmod 0644 '$(DESTDIR)$(bashcompletiondir)'/offloadctl \
	    '$(DESTDIR)$(zshcompletiondir)'/_offloadctl '$(DESTDIR)$(fishcompletiondir)'/offloadctl.fish

uninstall:
	cd '$(DESTDIR)$(bindir)' && rm -f offloadd offloadctl offload-status offload-test-build
	rm -f '$(DESTDIR)$(libexecdir)'/offload-helper
	cd '$(DESTDIR)$(unitdir)' && rm -f $(units) offloadd.service.d/notify-reload.conf
	if [ -d '$(DESTDIR)$(unitdir)'/offloadd.service.d ]; then rmdir '$(DESTDIR)$(unitdir)'/offloadd.service.d; fi
	cd '$(DESTDIR)$(userunitdir)' && rm -f $(userunits)
	rm -f '$(DESTDIR)$(sysusersdir)'/offloadd.conf
	rm -f '$(DESTDIR)$(dbuspolicydir)'/org.offloadd.Offload1.conf \
	    '$(DESTDIR)$(dbusservicedir)'/org.offloadd.Offload1.service \
	    '$(DESTDIR)$(polkitdir)'/org.offloadd.Offload1.policy
	for file in dbus/*.xml; do rm -f '$(DESTDIR)$(dbusinterfacedir)'/"$${file##*/}" || exit; done
	rm -f '$(DESTDIR)$(catalogdir)'/offloadd.catalog
	cd '$(DESTDIR)$(mandir)' && rm -f man1/offloadctl.1 man1/offload-status.1 man1/offload-test-build.1 \
	    man5/offloadd.toml.5 man5/org.offloadd.Offload1.5 man8/offloadd.8 man8/offload-helper.8 \
	    pt_BR/man1/offloadctl.1 pt_BR/man1/offload-status.1 pt_BR/man1/offload-test-build.1 \
	    pt_BR/man5/offloadd.toml.5 pt_BR/man5/org.offloadd.Offload1.5 pt_BR/man8/offloadd.8 \
	    pt_BR/man8/offload-helper.8
	rm -f '$(DESTDIR)$(bashcompletiondir)'/offloadctl '$(DESTDIR)$(zshcompletiondir)'/_offloadctl \
	    '$(DESTDIR)$(fishcompletiondir)'/offloadctl.fish
	rm -rf '$(DESTDIR)$(docdir)'

# The package is made of the tree that is installed everywhere else (daemon/Cargo.toml). cargo-deb removes
# other revisions from where it works: it gets a place of its own, and what is done is moved in one step.
DEB_REVISION = 1
deb:
	@PATH="$$PWD/target/tools/bin:$$PATH" cargo-deb --version > /dev/null 2>&1 || { \
	    echo 'make deb needs cargo-deb: cargo install cargo-deb --locked --no-default-features --root target/tools' >&2; \
	    exit 1; }
	$(MAKE) all PROFILE=release
	rm -rf target/deb
	$(MAKE) install DESTDIR="$$PWD/target/deb/root" PREFIX=/usr NOTIFY_RELOAD=yes PROFILE=release \
	    zshcompletiondir=/usr/share/zsh/vendor-completions
	mkdir -p target/deb/done target/debian
	PATH="$$PWD/target/tools/bin:$$PATH" CARGO_TARGET_DIR="$$PWD/target/deb/work" cargo-deb deb --quiet \
	    --package offloadd --no-build --no-strip --offline --locked \
	    --deb-revision '$(DEB_REVISION)' --output target/deb/done/ > /dev/null
	mv target/deb/done/*.deb target/debian/
	@ls -t target/debian/offloadd_*-'$(DEB_REVISION)'_*.deb | head -n 1

.PHONY: all install programs install-units install-bus install-docs install-completions uninstall deb
