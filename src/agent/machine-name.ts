/** The machine's name in the system: its host name's first part, fit for `machine:pid`. */
export function machineName(hostname: string): string {
  const [first = ''] = hostname.toLowerCase().split('.')
  const name = first.replaceAll(/[^a-z0-9-]+/g, '-').replaceAll(/^-+|-+$/g, '')
  return name === '' ? 'n1' : name.slice(0, 63)
}
