import type { ImageDefinition } from './definition.ts'

/**
 * What a guest does when it starts for the first time: its own host keys, then the definition's commands. Not before cloud-init, which
 * comes before sysinit.target: systemd would break the circle by leaving this out.
 */
export const FIRST_BOOT_UNIT = `[Unit]
Description=First start of this guest
ConditionPathExists=!/var/lib/tenon/first-boot-done
After=local-fs.target systemd-random-seed.service
Before=ssh.service

[Service]
Type=oneshot
ExecStart=/usr/lib/tenon/first-boot
RemainAfterExit=yes
StandardOutput=journal+console

[Install]
WantedBy=multi-user.target
`

/** A command that fails is told on the console, and the others run all the same. */
export function firstBootScript({ firstBoot }: ImageDefinition): string {
  const commands = firstBoot.map(command => `run ${shellWord(command)}\n`).join('')
  return `#!/bin/sh
run() {
  sh -c "$1" || echo "first start: failed with status $?: $1"
}
if command -v ssh-keygen > /dev/null && [ -d /etc/ssh ]; then ssh-keygen -A; fi
${commands}mkdir -p /var/lib/tenon
: > /var/lib/tenon/first-boot-done
`
}

/** A text as one word of a POSIX shell (XCU §2.2.2). */
export function shellWord(text: string): string {
  return `'${text.replaceAll('\'', '\'\\\'\'')}'`
}
