import { expect, test } from 'vitest'
import { describeError } from './errors.ts'
import { TenonError } from '../base/errors.ts'
import { formatBytes, parseCpu, parseDisk, parseEnvironment, parseMemory, parseMirror, parseSeconds } from './values.ts'

const usage = expect.objectContaining({ code: 'USAGE' })
const MIB = 1024 ** 2

test('memory sizes are whole mebibytes', () => {
  expect(['512M', '1G', '2048K', '64m', '3GiB', '5MB'].map(parseMemory)).toEqual([512 * MIB, 1024 * MIB, 2 * MIB, 64 * MIB, 3072 * MIB, 5 * MIB])
  for (const text of ['', '512', 'M', '-1M', '1.5G', '1K', '0M', '1T', '99999999999M', '12Mx']) expect(() => parseMemory(text), text).toThrow(usage)
})

test('CPU models have names, and an error lists them', () => {
  expect(['x86-64', 'x86-64-v2', 'x86-64-v3', 'max'].map(parseCpu)).toEqual(['x86-64', 'x86-64-v2', 'x86-64-v3', 'max'])
  for (const text of ['', 'v3', 'X86-64']) expect(() => parseCpu(text), text).toThrow(usage)
  expect(() => parseCpu('host')).toThrow('there is x86-64, x86-64-v2, x86-64-v3, max')
})

test('seconds are numbers', () => {
  expect(['0', '60', '1.5'].map(text => parseSeconds('--x', text))).toEqual([0, 60_000, 1500])
  for (const text of ['', '-1', 'soon', '1e3', '9999999']) expect(() => parseSeconds('--x', text), text).toThrow(usage)
})

test('variables have a name', () => {
  expect(parseEnvironment('B=x=y\nz', { A: '1' })).toEqual({ A: '1', B: 'x=y\nz' })
  for (const text of ['', 'A', '=x', '1A=x', 'A B=x', '$(x)=y']) expect(() => parseEnvironment(text), text).toThrow(usage)
})

test('disks are files or NBD exports', () => {
  expect(parseDisk('a.img')).toEqual([{ graph: { kind: 'file', path: 'a.img', readOnly: false } }])
  expect(parseDisk('a,b.qcow2,readonly', parseDisk('nbd://host/x'))).toEqual([
    { graph: { kind: 'nbd', uri: 'nbd://host/x', readOnly: false } }, { graph: { kind: 'file', path: 'a,b.qcow2', readOnly: true } },
  ])
  expect(() => parseDisk('')).toThrow(usage)
  expect(() => parseDisk('a.img,bus=ide')).toThrow('--disk "a.img,bus=ide" is no disk: "bus=ide" cannot be: write bus= and one of nvme, virtio, scsi')
})

test('mirrors are URLs', () => {
  expect(parseMirror('http://mirror/debian')).toBe('http://mirror/debian')
  for (const text of ['', 'mirror', 'ftp://mirror/', 'file:///x']) expect(() => parseMirror(text), text).toThrow(usage)
})

test('sizes are short', () => {
  expect([1, 999, 1000, 928_188, 26_484_304].map(formatBytes)).toEqual(['1 B', '999 B', '1 kB', '928 kB', '26.5 MB'])
})

test('an error is one line with its code', () => {
  expect(describeError(new TenonError('X_Y', 'it failed:\n  badly'))).toBe('tenon: it failed: badly (X_Y)')
  expect(describeError(new TenonError('LOCKSTEP_DIVERGED', 'they differ\nRAX: 1, 2\n  here'))).toBe('tenon: they differ (LOCKSTEP_DIVERGED)\nRAX: 1, 2\n  here')
  expect(describeError(new TypeError('oops'))).toBe('tenon: internal error: oops: please report it (INTERNAL)')
})
