import type { DiskCheckReport } from '../host/disk-files/check.ts'
import type { BackingReport, DiskInfoReport } from '../host/disk-files/info.ts'
import type { DiskSnapshot, SnapshotInfo } from '../host/disks/disk-snapshots.ts'
import { table } from './table.ts'
import { formatSize } from './values.ts'

/** What `tenon disk info` says. Backing files follow, indented. */
export function infoLines(report: DiskInfoReport): string[] {
  const { path, format, size, fileSize, occupied, files, qcow2, snapshots, backing } = report
  return [
    `disk      ${printable(path)}`,
    `format    ${format}${qcow2 === undefined ? '' : `, version ${qcow2.version}, ${describeQcow2(qcow2)}`}`,
    `size      ${formatSize(size)} (${size} bytes)`,
    ...occupied === undefined ? [] : [`on host   ${formatSize(occupied)}${fileSize === undefined || fileSize === occupied ? '' : `, in a file of ${formatSize(fileSize)}`}`],
    ...files === undefined ? [] : files.map(file => `with      ${printable(file)}`),
    ...qcow2?.corrupt ? ['damaged   it is marked as corrupt: it can be read, and copied to another'] : [],
    ...snapshots === undefined ? [] : ['snapshots', ...snapshotLines(snapshots).map(line => `  ${line}`)],
    ...backing === undefined ? [] : backingLines(backing),
  ]
}

function describeQcow2({ clusterSize, compression, lazyRefcounts, dirty }: NonNullable<DiskInfoReport['qcow2']>): string {
  return [
    `clusters of ${formatSize(clusterSize)}`, ...compression === 'zlib' ? [] : [`compressed by ${compression}`],
    ...lazyRefcounts ? ['lazy refcounts'] : [], ...dirty ? ['in use or not closed'] : [],
  ].join(', ')
}

function backingLines({ reference, format, disk, problem }: BackingReport): string[] {
  const named = `backing   ${printable(reference)}${format === null ? ', of a format that is not said' : ''}`
  if (disk === undefined) return [named, `  cannot be shown: ${printable(problem ?? '')}`]
  return [named, ...infoLines(disk).map(line => `  ${line}`)]
}

export function snapshotLines(snapshots: readonly SnapshotInfo[]): string[] {
  if (snapshots.length === 0) return []
  return table(['ID', 'NAME', 'TAKEN', 'SIZE'], snapshots.map(({ id, name, taken, size }) => [printable(id), printable(name), taken, formatSize(size)]))
}

/** Those of a guest, by disk. */
export function guestSnapshotLines(snapshots: readonly DiskSnapshot[]): string[] {
  if (snapshots.length === 0) return []
  return table(['NAME', 'TAKEN', 'SIZE', 'DISK'], snapshots.map(({ name, taken, size, disk }) => [printable(name), taken, formatSize(size), printable(disk)]))
}

/** What `tenon disk check` says. */
export function checkLines({ path, format, errors, errorCount, leaks, repaired, size, data, compressed }: DiskCheckReport): string[] {
  const share = size === 0 ? 0 : Math.round(data / size * 100)
  return [
    ...errors.map(error => `error: ${printable(error)}`),
    ...errorCount > errors.length ? [`and ${errorCount - errors.length} errors more`] : [],
    ...leaks === 0 ? [] : [`${leaks} clusters are lost room: --repair leaks gives it back`],
    ...repaired === 0 ? [] : [`${repaired} were repaired`],
    errorCount === 0 ? `${printable(path)}: no errors` : `${printable(path)}: ${errorCount} errors`,
    `${format}, ${formatSize(data)} of ${formatSize(size)} are data (${share} %)${compressed === 0 ? '' : `, ${formatSize(compressed)} of it compressed`}`,
  ]
}

/** Names come from files of others: what would move a terminal's cursor is shown as what it is. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}]/gu, character => `\\u{${character.codePointAt(0)!.toString(16)}}`)
}
