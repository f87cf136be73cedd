/** The header in memory and in the file: what has changed of it is written with the next commit. */
import type { StorageFile } from '../storage-file.ts'
import { constantAreas, encodeTables, TABLES_AT, type Area, type Header } from './header.ts'
import { corrupt, type Geometry } from './layout.ts'

type Tables = Pick<Header, 'size' | 'l1Size' | 'l1TableOffset' | 'refcountTableOffset' | 'refcountTableClusters' | 'snapshotCount' | 'snapshotsOffset'>

export class HeaderFile {
  readonly header: Header
  /** Clusters of tables that the header on the file still points to, and the one in memory does not. */
  readonly released: { readonly cluster: number, readonly count: number }[] = []
  private readonly file: StorageFile
  private readonly geometry: Geometry
  private changed = false
  private areas: readonly Area[]

  constructor(file: StorageFile, geometry: Geometry, header: Header) {
    this.file = file
    this.geometry = geometry
    this.header = header
    this.areas = constantAreas(geometry, header)
  }

  /** Puts other tables, or another size, in force in memory. */
  changeTables(tables: Partial<Tables>): void {
    Object.assign(this.header, tables)
    this.areas = constantAreas(this.geometry, this.header)
    this.changed = true
  }

  /** Has in memory what has just been written. */
  adopt(tables: Tables): void {
    this.changeTables({ ...tables })
    this.changed = false
  }

  /** Bytes to write at TABLES_AT if the tables have changed since; null if not. A failure to write them must be told by `notWritten`. */
  takeChange(): Uint8Array | null {
    if (!this.changed) return null
    this.changed = false
    return encodeTables(this.header)
  }

  notWritten(): void { this.changed = true }

  async writeTables(bytes: Uint8Array): Promise<void> { await this.file.write(TABLES_AT, [bytes]) }

  /** Sets or clears bits of incompatible_features, and has it durable. Only version 3 has such. */
  async setIncompatible(bits: number): Promise<void> {
    const bytes = new Uint8Array(4)
    new DataView(bytes.buffer).setUint32(0, bits)
    await this.file.write(76, [bytes])
    await this.file.flush()
    this.header.incompatible = bits
  }

  /** An image that is written by who does not know what these bits say loses them. */
  async clearAutoclear(): Promise<void> {
    if (!this.header.hasAutoclear) return
    await this.file.write(88, [new Uint8Array(8)])
    this.header.hasAutoclear = false
    this.header.bitmaps = null
  }

  /** Throws DISK_CORRUPT if a range of the file is part of the header or of a table that the header points to. */
  checkApart(offset: number, length: number): void {
    for (const area of this.areas) {
      if (offset < area.end && area.start < offset + length) {
        throw corrupt(this.file.path, `the cluster at ${offset} is used twice, once for the ${area.name}`)
      }
    }
  }
}
