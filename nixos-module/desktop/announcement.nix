# A service file of avahi (avahi.service(5)).
{ lib, services }:
''
  <?xml version="1.0" standalone="no"?>
  <!DOCTYPE service-group SYSTEM "avahi-service.dtd">
  <service-group>
    <name replace-wildcards="yes">%h</name>
''
+ lib.concatMapStrings (service: ''
  ${"  "}<service>
      <type>${service.type}</type>
      <port>${toString service.port}</port>
    </service>
'') services
+ ''
  </service-group>
''
