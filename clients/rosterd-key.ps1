<#
.SYNOPSIS
  Print the AI gateway key of the user of this machine, and keep a copy for when rosterd cannot be asked.
.DESCRIPTION
  The counterpart of clients/rosterd-key for Windows PowerShell 5.1 and PowerShell 7: the same decisions and exit statuses, the options
  that make sense on Windows; docs/mdm.md explains them. Run it with -File and as the logged-on user. What it reads is never evaluated.

  NOT RUN BY THE TEST SUITE, which has no PowerShell: its tests only compare this text with the sh client. Try it on one machine first.

  Exit status: 0 a key was printed; 2 wrong usage (1 when PowerShell itself refuses the command line); 3 (-Strict) rosterd cannot be asked,
  the copy was printed; 4 no copy, and rosterd cannot be reached or something else answered; 5 rosterd refused the credential; 6 the user
  has no active key; 7 the user was removed; 8 ALARM: the answer or the token is another user's; 9 a file or folder is not safe; 10 started
  as SYSTEM, which is no user.
#>
[CmdletBinding()]
param(
  [string] $Url,
  [string] $TokenFile,
  [string] $CertThumbprint,
  [switch] $Kerberos,
  [string] $CacheDir = (Join-Path ([Environment]::GetFolderPath('LocalApplicationData')) 'rosterd-key'),
  [ValidateRange(0, 999999999)] [int] $MaxAge = 900,
  [switch] $Refresh,
  [ValidateRange(0, 86400)] [int] $Jitter = 0,
  [ValidateRange(1, 600)] [int] $Timeout = 20,
  [switch] $NoProxy,
  [switch] $NoPrint,
  [switch] $Strict,
  [switch] $DryRun,
  [switch] $Quiet
)
Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'

$Hour = 3600
$Largest = 65536
$LongestWait = 3600
$ExitKey = 0; $ExitUsage = 2; $ExitCached = 3; $ExitUnreachable = 4; $ExitRefused = 5
$ExitInactive = 6; $ExitRemoved = 7; $ExitAlarm = 8; $ExitUnsafe = 9; $ExitNobody = 10

function Say([string] $Text) { if (-not $Quiet) { [Console]::Error.WriteLine("rosterd-key: $Text") } }
function Stop-With([int] $Status, [string] $Text) { Say $Text; exit $Status }
function Get-Now { [long] ([DateTimeOffset]::UtcNow.ToUnixTimeSeconds()) }
function Test-Plain([string] $Text) { $Text -cmatch '\A[A-Za-z0-9._~+/=:@%-]{1,512}\z' }
function Test-Etag([string] $Text) { $Text -cmatch '\A"[A-Za-z0-9._~+/=:@%-]{1,198}"\z' }
function Test-Key([string] $Text) { $Text -cmatch '\A[A-Za-z0-9._~+/=-]{16,4096}\z' }

# -- files: only their owner, SYSTEM and administrators may touch them -------------------------------------------------------

function Protect-Path([string] $Path) {
  $acl = Get-Acl -LiteralPath $Path
  $acl.SetAccessRuleProtection($true, $false)
  $me = [Security.Principal.WindowsIdentity]::GetCurrent().User
  $inherit = if (Test-Path -LiteralPath $Path -PathType Container) { 'ContainerInherit,ObjectInherit' } else { 'None' }
  foreach ($sid in @($me, (New-Object Security.Principal.SecurityIdentifier 'S-1-5-18'))) {
    $acl.AddAccessRule((New-Object Security.AccessControl.FileSystemAccessRule($sid, 'FullControl', $inherit, 'None', 'Allow')))
  }
  Set-Acl -LiteralPath $Path -AclObject $acl
}

function Test-Private([string] $Path) {
  $item = Get-Item -LiteralPath $Path -Force
  if ($item.Attributes -band [IO.FileAttributes]::ReparsePoint) { Stop-With $ExitUnsafe "$Path is a link" }
  $me = [Security.Principal.WindowsIdentity]::GetCurrent().User.Value
  $may = @($me, 'S-1-5-18', 'S-1-5-32-544', 'S-1-3-4')
  $acl = Get-Acl -LiteralPath $Path
  if ($may -notcontains $acl.GetOwner([Security.Principal.SecurityIdentifier]).Value) { Stop-With $ExitUnsafe "$Path is not yours" }
  foreach ($rule in $acl.GetAccessRules($true, $true, [Security.Principal.SecurityIdentifier])) {
    if ($rule.AccessControlType -eq 'Allow' -and $may -notcontains $rule.IdentityReference.Value) {
      Stop-With $ExitUnsafe "$Path can be read or changed by others ($($rule.IdentityReference.Value))"
    }
  }
}

function Initialize-Cache {
  if (-not (Test-Path -LiteralPath $CacheDir)) {
    if ($DryRun) { return }
    New-Item -ItemType Directory -Path $CacheDir -Force | Out-Null
    Protect-Path $CacheDir
  }
  Test-Private $CacheDir
}

$State = @{ user = ''; key = ''; etag = ''; checked = [long] 0; inactive = [long] 0; not_before = [long] 0 }

function Read-State {
  $path = Join-Path $CacheDir 'rosterd-key.state'
  foreach ($name in @('user', 'key', 'etag')) { $State[$name] = '' }
  foreach ($name in @('checked', 'inactive', 'not_before')) { $State[$name] = [long] 0 }
  if (-not (Test-Path -LiteralPath $path)) { return }
  Test-Private $path
  foreach ($line in [IO.File]::ReadAllLines($path)) {
    $name, $value = $line -split ' ', 2
    if ($name -eq 'user' -and (Test-Plain $value)) { $State.user = $value }
    if ($name -eq 'key' -and (Test-Key $value)) { $State.key = $value }
    if ($name -eq 'etag' -and (Test-Etag $value)) { $State.etag = $value }
    if (@('checked', 'inactive', 'not_before') -contains $name -and $value -cmatch '\A(0|[1-9][0-9]{0,10})\z') { $State[$name] = [long] $value }
  }
  # A clock that was turned back must neither keep the copy young for ever nor wipe it early.
  if ($State.checked -gt $Now) { $State.checked = [long] 0 }
  if ($State.inactive -gt $Now) { $State.inactive = $Now }
  if ($State.not_before -gt $Now + $LongestWait) { $State.not_before = [long] 0 }
}

function Write-State {  # whole or not at all; tells whether it was
  if ($DryRun) { return $true }
  $path = Join-Path $CacheDir 'rosterd-key.state'
  $work = Join-Path $CacheDir ('.rosterd-key-work.' + [Guid]::NewGuid().ToString('N'))
  $lines = foreach ($name in @('user', 'key', 'etag', 'checked', 'inactive', 'not_before')) { "$name $($State[$name])" }
  try {
    [IO.File]::WriteAllLines($work, [string[]] $lines)
    if (Test-Path -LiteralPath $path) { [IO.File]::Replace($work, $path, [NullString]::Value) } else { [IO.File]::Move($work, $path) }
    return $true
  } catch {
    Remove-Item -LiteralPath $work -Force -ErrorAction SilentlyContinue
    Say "the copy in $CacheDir cannot be written"
    return $false
  }
}

function Clear-Copy {  # a full disk hinders no wiping; says what became of the copy
  $State.key = ''; $State.etag = ''
  if ($DryRun) { return 'the copy would be wiped' }
  if (-not (Write-State)) { Remove-Item -LiteralPath (Join-Path $CacheDir 'rosterd-key.state') -Force -ErrorAction SilentlyContinue }
  'the copy is gone'
}

# -- asking ----------------------------------------------------------------------------------------------------------------------

# What carries more rights than a laptop may have does not belong on one; and a token of somebody else is noticed before it is used.
function Read-Token {
  if (-not (Test-Path -LiteralPath $TokenFile)) { Show-Copy $ExitUnsafe "$TokenFile is not there" }
  if (-not (Test-Path -LiteralPath $TokenFile -PathType Leaf)) { Stop-With $ExitUnsafe "$TokenFile is no file" }
  Test-Private $TokenFile
  $token = ([string] (Get-Content -LiteralPath $TokenFile -TotalCount 1)).Trim()
  if (-not (Test-Key $token)) { Stop-With $ExitUsage "$TokenFile holds no token" }
  $said = ConvertFrom-Payload $token
  $role = Get-Named $said 'role'
  if ($role -isnot [string] -or $role -cne 'device') {
    Stop-With $ExitUsage "$TokenFile holds no device token; what may more must never be on a laptop: revoke it"
  }
  $subject = Get-Named $said 'sub'
  if ($subject -is [string] -and (Test-Plain $subject)) { $script:TokenUser = $subject; Assert-User $subject 'the token' }
  $token
}

# The middle of a JWT (RFC 7515) as an object, or $null.
function ConvertFrom-Payload([string] $Token) {
  $parts = $Token.Split('.')
  if ($parts.Length -ne 3) { return $null }
  $text = $parts[1].Replace('_', '/').Replace('-', '+')
  try {
    $text = $text.PadRight($text.Length + (4 - $text.Length % 4) % 4, '=')
    ConvertFrom-Json -InputObject ([Text.Encoding]::UTF8.GetString([Convert]::FromBase64String($text)))
  } catch { $null }
}

function Get-Answer {
  # 0 = what the system says; anything else may be older than it should be.
  if ([int] [Net.ServicePointManager]::SecurityProtocol -ne 0) { [Net.ServicePointManager]::SecurityProtocol = [Net.SecurityProtocolType]::Tls12 }
  $request = [Net.WebRequest]::Create("$Url/api/users/me/virtual-keys")
  $request.AllowAutoRedirect = $false
  $request.Timeout = $Timeout * 1000
  $request.ReadWriteTimeout = $Timeout * 1000
  $request.Accept = 'application/json'
  $request.UserAgent = 'rosterd-key/1'
  if ($NoProxy -or $Url -cmatch '\Ahttp:') { $request.Proxy = New-Object Net.WebProxy }
  if ($TokenFile) { $request.Headers.Add('Authorization', 'Bearer ' + (Read-Token)) }
  if ($Kerberos) { $request.UseDefaultCredentials = $true }
  if ($CertThumbprint) {
    $cert = Get-Item -LiteralPath "Cert:\CurrentUser\My\$CertThumbprint" -ErrorAction SilentlyContinue
    if (-not $cert) { Stop-With $ExitUsage "there is no certificate $CertThumbprint in the user's store" }
    [void] $request.ClientCertificates.Add($cert)
  }
  if ($State.key -and $State.etag) { $request.Headers.Add('If-None-Match', $State.etag) }
  $nothing = @{ status = 0; kind = ''; body = ''; etag = ''; retry = '' }
  try { $response = $request.GetResponse() }
  catch {  # 304 and whatever is 400 or more come as exceptions, wrapped differently by different versions
    $failure = $_.Exception
    while ($null -ne $failure -and $failure -isnot [Net.WebException]) { $failure = $failure.InnerException }
    if ($null -eq $failure -or $null -eq $failure.Response) { return $nothing }
    $response = $failure.Response
  }
  try {
    $body = Read-Body $response
    if ($null -eq $body) { return $nothing }
    @{
      status = [int] $response.StatusCode; kind = [string] $response.ContentType; body = $body
      etag = [string] $response.Headers['ETag']; retry = [string] $response.Headers['Retry-After']
    }
  } finally { $response.Close() }
}

# The body as text; '' when it is too long to be rosterd's, $null when it ends before its time or does not end.
function Read-Body($Response) {
  $clock = [Diagnostics.Stopwatch]::StartNew()
  $buffer = New-Object byte[] ($Largest + 1)
  $length = 0
  try {
    $stream = $Response.GetResponseStream()
    while ($length -le $Largest -and ($count = $stream.Read($buffer, $length, $buffer.Length - $length)) -gt 0) {
      $length += $count
      if ($clock.Elapsed.TotalSeconds -gt $Timeout) { return $null }
    }
  } catch { return $null }
  if ($length -gt $Largest) { return '' }
  [Text.Encoding]::UTF8.GetString($buffer, 0, $length)
}

# The answer as an object, or $null for whatever is not JSON of a shape that rosterd sends.
function ConvertFrom-Answer($Answer) {
  if ($Answer.kind -cnotmatch '\Aapplication/json' -or -not $Answer.body -or $Answer.body -match '[\x00]') { return $null }
  try { $read = ConvertFrom-Json -InputObject $Answer.body } catch { return $null }
  if ($read -isnot [Management.Automation.PSCustomObject]) { return $null }
  $read
}

function Get-Named($Object, [string] $Name) {
  if ($null -eq $Object -or $Object -isnot [Management.Automation.PSCustomObject]) { return $null }
  $property = $Object.PSObject.Properties[$Name]
  if ($null -eq $property) { return $null }
  , $property.Value  # the comma keeps a list of one a list
}

# -- deciding --------------------------------------------------------------------------------------------------------------------

function Show-Key([string] $Key, [int] $Status) {
  if ($DryRun) { Say "would print a key of $($Key.Length) characters" } elseif (-not $NoPrint) { [Console]::Out.Write("$Key`n") }
  exit $Status
}

function Show-Copy([int] $Status, [string] $Why) {  # whatever happened is no reason to lose a key that may be good
  if (-not $State.key) { Stop-With $Status "$Why; there is no copy" }
  Say "$Why; the copy is kept"
  if ($Status -eq $ExitUnreachable) { $Status = $ExitCached }
  if (-not $Strict) { $Status = $ExitKey }
  Show-Key $State.key $Status
}

function Assert-User([string] $User, [string] $What) {  # a machine belongs to one user
  if ($State.user -and $State.user -cne $User) {
    Stop-With $ExitAlarm "ALARM: $What is of the user $User, this copy belongs to $($State.user); nothing was changed. To hand the machine over, remove $CacheDir"
  }
}

# The first active key; '' when there is none; $null when this is not rosterd's answer.
function Find-Key($Read) {
  $user = Get-Named $Read 'user_id'
  $keys = Get-Named $Read 'virtual_keys'
  if ($user -isnot [string] -or -not (Test-Plain $user) -or $user.Length -gt 128 -or $keys -isnot [array]) { return $null }
  $active = ''
  foreach ($key in $keys) {
    $value = Get-Named $key 'value'
    $on = Get-Named $key 'is_active'
    if ($value -isnot [string] -or $on -isnot [bool] -or ($on -and -not (Test-Key $value))) { return $null }
    if ($on -and -not $active) { $active = $value }
  }
  $active
}

function Use-Answer($Answer) {
  $read = ConvertFrom-Answer $Answer
  $active = Find-Key $read
  if ($null -eq $active) { Show-Copy $ExitUnreachable 'something else than rosterd answered 200' }
  $user = Get-Named $read 'user_id'
  if (-not $State.user) { $State.user = $TokenUser }
  Assert-User $user 'the answer'
  $State.user = $user; $State.checked = $Now; $State.not_before = [long] 0
  if ($active) {
    $State.key = $active; $State.inactive = [long] 0
    $State.etag = if (Test-Etag $Answer.etag) { $Answer.etag } else { '' }
    [void] (Write-State)
    Show-Key $active $ExitKey
  }
  # Once may be a mistake that somebody mends; an hour later it is none.
  if ($State.inactive -eq 0) { $State.inactive = $Now }
  if ($Now - $State.inactive -lt $Hour -or -not $State.key) {
    [void] (Write-State)
    Show-Copy $ExitInactive 'this user has no active key now'
  }
  $gone = Clear-Copy
  Stop-With $ExitInactive "this user has had no active key for an hour; $gone"
}

function Use-Unchanged($Answer) {  # only an answer to our question, not one that some cache makes up
  if (-not ($State.key -and $State.etag) -or $Answer.etag -cne $State.etag) { Show-Copy $ExitUnreachable 'something else than rosterd answered 304' }
  $State.checked = $Now; $State.inactive = [long] 0; $State.not_before = [long] 0
  [void] (Write-State)
  Show-Key $State.key $ExitKey
}

function Use-Refusal($Answer) {
  $status = $Answer.status
  if (@(429, 503) -contains $status) {
    if ($Answer.retry -cmatch '\A(0|[1-9][0-9]{0,8})\z') {
      $State.not_before = $Now + [Math]::Min([long] $Answer.retry, $LongestWait)
      [void] (Write-State)
    }
    Show-Copy $ExitUnreachable "the server asks to come back later ($status)"
  }
  $read = ConvertFrom-Answer $Answer
  $ours = Get-Named $read 'is_bifrost_error'
  if ($ours -isnot [bool] -or -not $ours) { Show-Copy $ExitUnreachable "something else than rosterd answered $status" }
  $code = Get-Named (Get-Named $read 'error') 'code'
  if ($code -isnot [string] -or -not (Test-Plain $code)) { $code = '' }
  if ($status -ne 404 -or $code -cne 'user_removed') { Show-Copy $ExitRefused "rosterd refused ($status $code)" }
  $gone = Clear-Copy
  Stop-With $ExitRemoved "this user was removed; $gone"
}

# -- main ------------------------------------------------------------------------------------------------------------------------

$Url = $Url.TrimEnd('/')
if ($Url -cnotmatch '\Ahttps://[A-Za-z0-9._~:/\[\]-]+\z' -and $Url -cnotmatch '\Ahttp://(127\.0\.0\.1|localhost)(:[0-9]+)?(/[A-Za-z0-9._~/-]*)?\z') {
  Stop-With $ExitUsage '-Url must begin with https:// (http:// only to this machine), without a user name'
}
if (@($TokenFile, $CertThumbprint, $(if ($Kerberos) { 'yes' } else { '' }) | Where-Object { $_ }).Count -ne 1) {
  Stop-With $ExitUsage 'give exactly one of -TokenFile, -CertThumbprint and -Kerberos'
}
foreach ($path in @($TokenFile, $CacheDir)) {
  if ($path -and -not [IO.Path]::IsPathRooted($path)) { Stop-With $ExitUsage "${path}: give the whole path" }
}
if ($CertThumbprint -and $CertThumbprint -cnotmatch '\A[0-9A-Fa-f]{40}\z') { Stop-With $ExitUsage '-CertThumbprint is 40 hex digits' }
if ([Security.Principal.WindowsIdentity]::GetCurrent().IsSystem) {
  Stop-With $ExitNobody 'started as SYSTEM: let the MDM run it as the logged-on user'
}
$Now = Get-Now
$TokenUser = ''
if ($DryRun) { $Refresh = [switch] $true }
Initialize-Cache
Read-State
if (-not $Refresh -and $State.key -and $State.inactive -eq 0 -and $Now - $State.checked -lt $MaxAge) { Show-Key $State.key $ExitKey }
if ($Now -lt $State.not_before) { Show-Copy $ExitUnreachable 'the server asked to come back later' }
if ($Jitter -gt 0 -and -not $DryRun) {
  Start-Sleep -Seconds (Get-Random -Minimum 0 -Maximum ($Jitter + 1))
  $Now = Get-Now
  Read-State  # another one may have asked meanwhile
}
$answer = Get-Answer
switch ($answer.status) {
  0 { Show-Copy $ExitUnreachable 'rosterd cannot be reached' }
  200 { Use-Answer $answer }
  304 { Use-Unchanged $answer }
  default { Use-Refusal $answer }
}
