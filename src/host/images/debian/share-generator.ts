/**
 * Mounts the folders of the host that a guest is started with: `tenon.share=TAG:rw|ro:FOLDER` on the kernel's command line. A generator
 * (systemd.generator(7)) runs before anything else and writes units, so that the folders are there when services start.
 */
export const SHARE_GENERATOR_PATH = 'etc/systemd/system-generators/tenon-shares'

export const SHARE_GENERATOR = `#!/bin/sh
read -r options </proc/cmdline
set -f
for option in $options; do
  case $option in tenon.share=*) share=\${option#*=} ;; *) continue ;; esac
  rest=\${share#*:}
  unit=$(systemd-escape --path --suffix=mount "\${rest#*:}")
  mkdir -p "$1/local-fs.target.wants"
  ln -s "../$unit" "$1/local-fs.target.wants/$unit"
  cat >"$1/$unit" <<EOF
[Unit]
Description=A folder of the host
Wants=modprobe@virtio_pci.service modprobe@virtiofs.service
After=modprobe@virtio_pci.service modprobe@virtiofs.service
Before=local-fs.target

[Mount]
What=\${share%%:*}
Where=\${rest#*:}
Type=virtiofs
Options=\${rest%%:*}
EOF
done
`
