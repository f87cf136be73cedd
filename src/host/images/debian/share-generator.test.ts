import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { shareWords } from '../../shares/guest-share.ts'
import { SHARE_GENERATOR } from './share-generator.ts'

const hasTools = spawnSync('systemd-escape', ['--version']).status === 0
if (!hasTools) process.stderr.write('skipped: units for shares: there is no systemd-escape\n')
const hasAnalyzer = hasTools && spawnSync('systemd-analyze', ['--version']).status === 0

test.skipIf(!hasTools)('writes a unit for each share on the command line, and no other', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tenon-generator-'))
  try {
    const words = shareWords([{ path: '/x', mountPoint: '/mnt/my-src' }, { path: '/y', mountPoint: '/data', readOnly: true }])
    writeFileSync(join(folder, 'cmdline'), `console=ttyS0 ${words.join(' ')} root=* quiet\n`)
    const script = SHARE_GENERATOR.replace('/proc/cmdline', join(folder, 'cmdline'))
    const { status, stderr } = spawnSync('sh', ['-eu', '-s', folder], { input: script })
    expect([status, stderr.toString()]).toEqual([0, ''])
    expect(readdirSync(join(folder, 'local-fs.target.wants')).toSorted()).toEqual(['data.mount', 'mnt-my\\x2dsrc.mount'])
    const unit = readFileSync(join(folder, 'mnt-my\\x2dsrc.mount'), 'utf8')
    expect(unit).toContain('What=share0\nWhere=/mnt/my-src\nType=virtiofs\nOptions=rw\n')
    expect(readFileSync(join(folder, 'data.mount'), 'utf8')).toContain('What=share1\nWhere=/data\nType=virtiofs\nOptions=ro\n')
    const verify = hasAnalyzer ? spawnSync('systemd-analyze', ['verify', '--man=no', join(folder, 'data.mount')]).stderr.toString() : ''
    expect(verify).not.toMatch(/data\.mount/)
  } finally {
    rmSync(folder, { recursive: true })
  }
})
