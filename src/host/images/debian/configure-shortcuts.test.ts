import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { AFTER_PACKAGES, BEFORE_PACKAGES } from './configure-shortcuts.ts'

const hasShell = process.platform === 'linux'
if (!hasShell) process.stderr.write('skipped: the shortcuts of configuration: their programs are those of Linux\n')

const folders: string[] = []
afterEach(() => folders.splice(0).forEach(folder => rmSync(folder, { recursive: true })))

/** A root with the folders that scripts name, and stand-ins for dpkg and deb-systemd-helper that print how they were called. */
function makeRoot(): string {
  const root = mkdtempSync(join(tmpdir(), 'tenon-shortcuts-'))
  folders.push(root)
  for (const folder of ['run/tenon', 'usr/bin', 'usr/share/ca-certificates/mozilla', 'usr/share/i18n', 'etc']) mkdirSync(join(root, folder), { recursive: true })
  for (const name of ['dpkg', 'deb-systemd-helper']) writeFileSync(join(root, 'usr/bin', name), '#!/bin/sh\necho real "$@"\n', { mode: 0o755 })
  writeFileSync(join(root, 'usr/share/ca-certificates/mozilla/a.crt'), 'a')
  writeFileSync(join(root, 'usr/share/i18n/SUPPORTED'), 'de_DE.UTF-8 UTF-8  \n# none\naa_ER UTF-8\n')
  return root
}

function run(root: string, script: string): string {
  const here = script.replaceAll('/run/tenon', `${root}/run/tenon`).replaceAll('/usr/', `${root}/usr/`).replaceAll('/etc/', `${root}/etc/`)
  const { status, stdout, stderr } = spawnSync('sh', ['-eu'], { input: `fail() { echo "$*" >&2; exit 1; }\nPATH=${root}/run/tenon:$PATH\n${here}` })
  expect([status, stderr.toString()]).toEqual([0, ''])
  return stdout.toString()
}

test.skipIf(!hasShell)('what has no effect does nothing, and all else is done', () => {
  const asked = run(makeRoot(), `${BEFORE_PACKAGES}
deb-systemd-helper unmask a.service; deb-systemd-helper --quiet was-enabled a.service; deb-systemd-helper enable a.service
dpkg -L libpython3.11-minimal:amd64; dpkg -L locales; dpkg --compare-versions '' lt '1 a'
py3compile -p x; update-ca-certificates --fresh; ssh-keygen -A; dpkg-maintscript-helper rm_conffile
`)
  expect(asked).toBe('real enable a.service\nreal -L locales\nreal --compare-versions  lt 1 a\n')
})

test.skipIf(!hasShell)('certificates and locales are out of the way, come back, and the list of locales is whole', () => {
  const root = makeRoot()
  run(root, BEFORE_PACKAGES)
  expect(['usr/share/ca-certificates', 'usr/share/i18n/SUPPORTED'].map(path => existsSync(join(root, path)))).toEqual([false, false])
  writeFileSync(join(root, 'etc/locale.gen'), '# You can choose.\n\n')
  run(root, `${BEFORE_PACKAGES.slice(BEFORE_PACKAGES.indexOf('aside()'))}${AFTER_PACKAGES}`)
  expect(readFileSync(join(root, 'usr/share/ca-certificates/mozilla/a.crt'), 'utf8')).toBe('a')
  expect(readFileSync(join(root, 'etc/locale.gen'), 'utf8')).toBe('# You can choose.\n\n# aa_ER UTF-8\n# de_DE.UTF-8 UTF-8\n')
})

test.skipIf(!hasShell)('an image without any of these packages is no failure', () => {
  const root = makeRoot()
  rmSync(join(root, 'usr/share'), { recursive: true })
  expect(run(root, `${BEFORE_PACKAGES}${AFTER_PACKAGES}`)).toBe('')
})
