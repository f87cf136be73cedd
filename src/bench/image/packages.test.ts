import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { PackageFolder, fileNamePattern } from './packages.ts'

describe('fileNamePattern', () => {
  it('finds a metapackage\'s kernel, of that flavour only', () => {
    const pattern = fileNamePattern({ name: 'linux-image-686', architecture: 'i386', isKernelMetapackage: true })
    expect(pattern.test('linux-image-6.1.0-50-686_6.1.176-1_i386.deb')).toBe(true)
    expect(pattern.test('linux-image-6.1.0-50-686-pae_6.1.176-1_i386.deb')).toBe(false)
    expect(pattern.test('linux-image-686_6.1.176-1_i386.deb')).toBe(false)
  })

  it('finds packages of the architecture, and of all', () => {
    const pattern = fileNamePattern({ name: 'seabios', architecture: 'i386' })
    expect(pattern.test('seabios_1.16.2-1_all.deb')).toBe(true)
    expect(pattern.test('seabios_1.16.2-1_i386.deb')).toBe(true)
    expect(pattern.test('seabios_1.16.2-1_amd64.deb')).toBe(false)
    expect(pattern.test('seabios-extra_1.16.2-1_all.deb')).toBe(false)
  })
})

describe('PackageFolder', () => {
  let folder: string
  beforeEach(async () => { folder = await mkdtemp(join(tmpdir(), 'tenon-bench-packages-')) })
  afterEach(() => rm(folder, { recursive: true }))

  it('gives what the folder has, the last version of several', async () => {
    await writeFile(join(folder, 'busybox-static_1.35.0-3_amd64.deb'), 'old')
    await writeFile(join(folder, 'busybox-static_1.35.0-4_amd64.deb'), 'new')
    const [deb] = await new PackageFolder(folder).read([{ name: 'busybox-static', architecture: 'amd64' }])
    expect(new TextDecoder().decode(deb)).toBe('new')
  })

  it('says when the folder cannot be', async () => {
    await writeFile(join(folder, 'file'), '')
    await expect(new PackageFolder(join(folder, 'file')).read([])).rejects.toMatchObject({ code: 'BENCH_FOLDER_UNUSABLE' })
  })
})
