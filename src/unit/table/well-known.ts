/**
 * Names of units that every systemd host has, see systemd.special(7). Holon starts units when the
 * host has booted, so waiting for these changes nothing; other units are another matter.
 */
import { trimWhitespace } from '../words.ts'

// A booted host has reached these, or never will.
const reached = new Set(
  `basic boot-complete cryptsetup cryptsetup-pre default first-boot-complete getty getty-pre
  graphical integritysetup integritysetup-pre local-fs local-fs-pre machines multi-user
  network network-online network-pre nss-lookup nss-user-lookup paths remote-cryptsetup
  remote-fs remote-fs-pre remote-veritysetup rpcbind runlevel2 runlevel3 runlevel4 runlevel5
  slices sockets swap sysinit syslog time-set time-sync timers veritysetup veritysetup-pre`
    .split(/\s+/)
    .map((name) => `${name}.target`),
)

// Reached at another time than boot: hardware, sessions, sleep, another way to boot, the end.
const occasional = new Set(
  `bluetooth ctrl-alt-del emergency exit final graphical-session graphical-session-pre halt
  hibernate hybrid-sleep initrd initrd-fs initrd-root-device initrd-root-fs initrd-switch-root
  initrd-usr-fs kbrequest kexec poweroff printer reboot rescue runlevel0 runlevel1 runlevel6
  shutdown sigpwr sleep smartcard soft-reboot sound suspend suspend-then-hibernate
  system-update system-update-pre umount usb-gadget xdg-desktop-autostart`
    .split(/\s+/)
    .map((name) => `${name}.target`),
)

const atTheEnd = new Set(
  'shutdown umount final reboot poweroff halt kexec exit soft-reboot rescue emergency'
    .split(' ')
    .map((name) => `${name}.target`),
)

// Services, sockets and slices of the host's own systemd; nobody runs these under Holon.
const hostOwn: readonly RegExp[] = [
  /^systemd-[A-Za-z0-9_.-]+\.(service|socket|path|timer|mount)$/,
  /^(dbus|syslog)\.(service|socket)$/,
  /^(-|system|user)\.slice$/,
  /.\.(mount|device|swap)$/,
]

/** For After= and Before=: why waiting for one of `value`'s units would matter. */
export function orderingRefusal(value: string): string | undefined {
  return firstRefusal(value, (name) =>
    reached.has(name) || occasional.has(name) || hostOwn.some((pattern) => pattern.test(name))
      ? undefined
      : `ordering against ${name} is not supported yet; only well-known targets may stand here`,
  )
}

/** For Wants=, Requires= and the like: why wanting one of `value`'s units would matter. */
export function requirementRefusal(value: string): string | undefined {
  return firstRefusal(value, (name) =>
    reached.has(name)
      ? undefined
      : `depending on ${name} is not supported yet; only targets of a booted host may stand here`,
  )
}

/** For Conflicts=: why it is not just the usual conflict with the machine's shutdown. */
export function conflictRefusal(value: string): string | undefined {
  return firstRefusal(value, (name) =>
    atTheEnd.has(name)
      ? undefined
      : `conflicting with ${name} is not supported yet; only shutdown's targets may stand here`,
  )
}

/** For WantedBy= and the like: why being pulled in by one of `value`'s units would matter. */
export function installRefusal(value: string): string | undefined {
  return firstRefusal(value, (name) => {
    if (reached.has(name)) return undefined
    return occasional.has(name)
      ? `${name} is not reached at boot, and Holon starts enabled units when it starts`
      : `being started together with ${name} is not supported yet`
  })
}

/** Why one of `value`'s words is none of `accepted`. */
export function choiceRefusal(accepted: readonly string[]): (value: string) => string | undefined {
  return (value) =>
    value === '' || accepted.includes(value)
      ? undefined
      : `${JSON.stringify(value)} is not supported yet, only ${accepted.join(', ')}`
}

function firstRefusal(
  value: string,
  refusalOf: (name: string) => string | undefined,
): string | undefined {
  const names = trimWhitespace(value).split(/[ \t]+/)
  for (const name of names) {
    const refusal = name === '' ? undefined : refusalOf(name)
    if (refusal !== undefined) return refusal
  }
  return undefined
}
